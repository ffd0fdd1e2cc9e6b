"""What watches the fleet."""
