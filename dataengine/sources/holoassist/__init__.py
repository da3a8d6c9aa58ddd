"""HoloAssist: its sessions, and the hands that the headset tracked."""
