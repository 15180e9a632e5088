"""Where text comes from: the mini world, local files and the hub, read as rows and documents."""
