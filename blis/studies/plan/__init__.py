"""Which of many deployments is the cheapest that meets SLOs."""
