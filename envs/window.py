"""A window for ``render_mode`` ``human``; where there is no display it draws and shows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from qmarl.types import Array


@final
class Window:
    """Shows one picture after another.

    Args:
        title: Of the window.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._figure: Any = None
        self._image: Any = None

    def show(self, picture: Array) -> None:
        """Shows a picture ``(height, width, 3)`` uint8 in place of the one before."""
        import matplotlib.pyplot as plt

        if self._figure is None:
            height, width = picture.shape[:2]
            self._figure = plt.figure(self._title, figsize=(width / 100, height / 100), dpi=100)
            axes = self._figure.add_axes((0, 0, 1, 1))
            axes.set_axis_off()
            self._image = axes.imshow(picture)
            if plt.get_backend().lower() != "agg":  # which has no display to show windows on
                self._figure.show()
        self._image.set_data(picture)
        self._figure.canvas.draw_idle()
        self._figure.canvas.flush_events()

    def close(self) -> None:
        """Closes the window."""
        if self._figure is not None:
            import matplotlib.pyplot as plt

            plt.close(self._figure)
            self._figure = None
