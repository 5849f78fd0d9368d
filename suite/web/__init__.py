"""The pages and their HTTP resources."""
