import numpy as np

from colorgan.evaluation import image_grid


def test_grid_shows_every_image_in_its_column_and_its_caption():
    gray, fake, real = (list(np.full((2, 32, 32, 3), value, np.uint8)) for value in (50, 100, 150))
    captions = [("", "real: 25.0%", "real: 75.0%"), ("", "real: 50.0%", "real: 100.0%")]
    sheet = np.asarray(image_grid.draw_grid(gray, fake, real, captions))
    cell = 160
    assert sheet.shape == (28 + 2 * (cell + 28), 3 * (cell + 8) + 8, 3)
    for row in range(2):
        for column, value in enumerate((50, 100, 150)):
            top, left = 28 + row * (cell + 28), 8 + column * (cell + 8)
            assert (sheet[top : top + cell, left : left + cell] == value).all()
            caption = sheet[top + cell : top + cell + 20, left : left + cell]
            assert (caption < 128).any() == (column > 0)
    other = np.asarray(image_grid.draw_grid(gray, fake, real, [("", "real: 26.0%", captions[0][2]), captions[1]]))
    assert (sheet != other).any()


def test_large_images_are_not_enlarged():
    images = [np.zeros((200, 200, 3), np.uint8)]
    assert image_grid.draw_grid(images, images, images, [("", "", "")]).width == 3 * 208 + 8


def test_images_of_different_shapes_are_centered_in_equal_cells_below_a_heading():
    images = [np.full(shape, value, np.uint8) for shape, value in (((200, 100, 3), 50), ((100, 200, 3), 100))]
    sheet = np.asarray(image_grid.draw_grid(images, images, images, [("", "", "")] * 2, "what this is"))
    assert sheet.shape == (28 + 28 + 2 * 228, 3 * 208 + 8, 3)
    assert (sheet[:28] < 128).any()
    for row, (top, left, height, width) in enumerate(((0, 50, 200, 100), (50, 0, 100, 200))):
        top, left = top + 56 + row * 228, left + 8 + 208
        assert (sheet[top : top + height, left : left + width] == (50, 100)[row]).all()
        assert (sheet[top - 1, left : left + width] == 255).all()
        assert (sheet[top : top + height, left - 1] == 255).all()
