"""The HTTP face: routes, errors to statuses, feeds and pages. Decides nothing about models; asks `gateway`."""
