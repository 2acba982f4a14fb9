"""What readers of foreign bytes are fed at random with: see CONTRIBUTING.md."""
