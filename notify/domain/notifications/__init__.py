"""A notification, its id, its plan for later, and what became of it."""
