"""What is installed: components with their settings and laws, and plugins with what became of them."""
