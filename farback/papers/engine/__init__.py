"""The engine of all reproductions: items, cases and their measures, running them, and writing the pages."""
