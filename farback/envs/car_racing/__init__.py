"""Car racing seen from above: a random track, a car with four wheels, and a picture that follows it."""
