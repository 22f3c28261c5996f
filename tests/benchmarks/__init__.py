"""What the project costs in time and memory: measured, never asserted."""
