"""HO-Cap: its sequences of pictures, and the hands that were fitted to all views."""
