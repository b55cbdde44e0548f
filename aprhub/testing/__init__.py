"""What a plugin's author needs to prove a plugin; ships with the hub."""
