"""Line charts for a terminal: `series` holds the points, `picture` draws them, `widget` shows the drawing."""
