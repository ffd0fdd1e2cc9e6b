"""What runs the fleet: rules, their runbook, and the dashboard. Not shipped with the packages."""
