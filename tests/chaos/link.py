"""A TCP link that can be slow, cut, or half open. Our own instead of toxiproxy: it must also silence connections for good."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

__all__ = ["FaultyLink"]

CHUNK = 65_536


class FaultyLink:
    """Listens on a loopback port and passes bytes on to ``target`` (another one), both ways, until told otherwise."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._delay_s = 0.0
        self._cut = False
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[None] | None] = set()
        """The loop itself does not keep tasks that wait for nothing, as those of silent connections do."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"link-{port}", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", port), self._loop
        ).result(10)

    def delay(self, seconds: float) -> None:
        """Hold every piece of up to 64 KiB back for so long, in each direction."""
        self._delay_s = seconds

    def cut(self) -> None:
        """Close every connection, and every new one at once, until ``heal``."""
        self._cut = True
        self._loop.call_soon_threadsafe(self._close_all)

    def silence(self) -> None:
        """Leave every present connection open and pass on nothing any more, for good; new connections work.

        So it looks when the other machine loses its power: nobody says goodbye.
        """
        for connection in tuple(self._connections):
            connection.silent = True

    def reset(self) -> None:
        """Close what is silent: the other machine is back, knows nothing of old connections, and says so."""
        for connection in tuple(self._connections):
            if connection.silent:
                self._loop.call_soon_threadsafe(connection.close)

    def heal(self) -> None:
        """No delay, no cut. What is silent stays silent until ``reset``."""
        self._cut, self._delay_s = False, 0.0

    def close(self) -> None:
        """Close everything."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close_all(self) -> None:
        for connection in tuple(self._connections):
            connection.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._serving.add(asyncio.current_task())
        connection = _Connection(writer, far_writer)
        self._connections.add(connection)
        pumps = (
            asyncio.create_task(self._pump(connection, reader, far_writer)),
            asyncio.create_task(self._pump(connection, far_reader, writer)),
        )
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The link is closed; the stream's own callback would print what is raised here.
            pass
        finally:
            self._connections.discard(connection)
            self._serving.discard(asyncio.current_task())
            connection.close()
            for pump in pumps:
                pump.cancel()

    async def _pump(self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                if connection.silent:
                    continue
                writer.write(data)
                await writer.drain()
        if connection.silent:
            # Nor does the other side learn that this one has hung up.
            await connection.gone.wait()


class _Connection:
    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.silent = False
        self.gone = asyncio.Event()

    def close(self) -> None:
        self.gone.set()
        for writer in self._writers:
            writer.transport.abort()
