"""EgoDex: its episodes, and the joints that the headset tracked."""
