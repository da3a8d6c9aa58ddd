"""Which containers are opened as a video.

FFmpeg chooses a demuxer by contents, whatever a file is called. A list such as ffconcat, HLS, DASH or SDP would bring
in files and addresses that lie outside of the dataset, so only demuxers that open no other file may read.
"""

CONTAINERS = (
    *("mov", "matroska", "avi", "gif", "mpegts", "mpeg", "mpegvideo", "m4v", "mjpeg"),
    *("ogg", "flv", "asf", "ivf", "mxf", "nut"),
)
"""Demuxers by FFmpeg's names: `mov` is mp4, too, `matroska` is WebM."""
READ_OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
"""For whoever opens a video with PyAV: `av.open(path, container_options=READ_OPTIONS)`."""
EXPECTED = f"expected one of {', '.join(CONTAINERS)}; convert it to mp4 or WebM"
