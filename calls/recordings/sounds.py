"""What kind of sound a file holds, told from its first bytes: what a server says of it is only
a claim, and what we say of it later is what a browser believes.
"""

from dataclasses import dataclass

# As many bytes of the beginning as `sound_of` needs.
BEGINNING = 12


@dataclass(frozen=True, slots=True)
class Sound:
    extension: str
    content_type: str


WAV = Sound("wav", "audio/wav")
MP3 = Sound("mp3", "audio/mpeg")
OGG = Sound("ogg", "audio/ogg")
M4A = Sound("m4a", "audio/mp4")

# Of what may stand in the container of MPEG-4, where pictures stand too. https://mp4ra.org
M4A_BRANDS = {
    b"M4A ", b"M4B ", b"mp41", b"mp42", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"dash",
}  # fmt: skip


def sound_of(beginning: bytes) -> Sound | None:
    """The kind of sound that begins so; None if it is none that we know."""
    if beginning[:4] in {b"RIFF", b"RF64"} and beginning[8:12] == b"WAVE":
        return WAV
    if beginning[:4] == b"OggS":
        return OGG
    if beginning[4:8] == b"ftyp" and beginning[8:12] in M4A_BRANDS:
        return M4A
    if beginning[:3] == b"ID3" or _is_mp3_frame(beginning):
        return MP3
    return None


def _is_mp3_frame(beginning: bytes) -> bool:
    """Eleven set bits, then version, layer, bit rate and sample rate, none of them a reserved
    value: ISO/IEC 11172-3, 2.4.1.3.
    """
    if len(beginning) < 4 or beginning[0] != 0xFF or beginning[1] & 0xE0 != 0xE0:
        return False
    version, layer = beginning[1] >> 3 & 3, beginning[1] >> 1 & 3
    bit_rate, sample_rate = beginning[2] >> 4, beginning[2] >> 2 & 3
    return version != 1 and layer == 1 and bit_rate != 15 and sample_rate != 3


def may_be_sound(content_type: str) -> bool:
    """Does a server that gives this content type leave it open that it sends sound?"""
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("audio/") or kind in {
        "",
        "application/octet-stream",
        "application/ogg",
        "binary/octet-stream",  # what S3 says of what it was told nothing of
        "video/mp4",  # the container of M4A
    }
