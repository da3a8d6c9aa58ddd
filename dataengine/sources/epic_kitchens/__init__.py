"""EPIC-KITCHENS-100: its narrated actions, and its detections of hands."""
