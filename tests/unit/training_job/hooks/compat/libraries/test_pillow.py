"""What Pillow has lost, as scripts call it."""

import pytest

from tests.unit.training_job.hooks.compat.old_code import run, run_elsewhere

pytest.importorskip("PIL")


def test_filters_have_their_old_names() -> None:
    found = run("from PIL import Image; x = [Image.ANTIALIAS, Image.CUBIC, Image.LINEAR]; v = Image.PILLOW_VERSION")
    assert [kind.name for kind in found["x"]] == ["LANCZOS", "BICUBIC", "BILINEAR"]
    assert found["v"]


def test_the_size_of_text_is_what_pillow_9_calculated() -> None:
    code = """
    from PIL import Image, ImageDraw, ImageFont
    image = Image.new("RGB", (90, 60))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(20)
    one, both = draw.textsize("Ag", font=font), draw.textsize("Ag\\nA", font)
    same, lines = font.getsize("Ag"), font.getsize_multiline("Ag\\nA")
    box, line = font.getbbox("Ag"), font.getbbox("A")[3]
    turned = ImageFont.TransposedFont(font, Image.ROTATE_90).getsize("Ag")
    """
    found = run(code)
    left, _, right, bottom = found["box"]
    assert found["one"] == found["same"] == (right - left, bottom)
    assert found["both"] == found["lines"] == (right - left, 2 * (found["line"] + 4) - 4)
    assert found["turned"] == (bottom, right - left)


def test_bytes_of_images() -> None:
    code = """
    from PIL import Image
    image = Image.fromstring("L", (2, 1), b"ab")
    same, turned = image.tostring(), image.offset(1, 0).tobytes()
    """
    found = run(code)
    assert (found["same"], found["turned"]) == (b"ab", b"ba")


@pytest.mark.parametrize("code", ["Image.ANTIALIAS", "Image.new('L', (1, 1)).tostring", "ImageDraw.ImageDraw.textsize"])
def test_other_packages_see_todays_pillow(code: str) -> None:
    with pytest.raises(AttributeError):
        run_elsewhere(f"from PIL import Image, ImageDraw; {code}")
