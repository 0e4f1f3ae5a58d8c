"""What is charged at a step when it is more than the task's own loss."""
