"""Operating-system processes: who starts, watches, restarts and ends which, and who has the terminal."""
