"""`corral demo`: its files, the server it runs, the story it tells."""
