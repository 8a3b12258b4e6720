"""What is kept of single notifications: their records, plans, and what is due; and how they go again."""
