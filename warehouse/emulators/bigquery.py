"""Start the BigQuery emulator: bqemulator with the repairs in bigquery_repairs/.

Stock bqemulator answers wrongly without saying so (SQL errors become empty results, a job id
used twice runs twice, NUMERIC loses digits …), so dayfill runs it only through this launcher.

    python warehouse/emulators/bigquery.py --port 9050 --data-dir DIR --storage-root DIR

It is ready when `GET /readyz` answers 200.
"""

import argparse
import gc
import socket
import sys
from pathlib import Path

import bigquery_repairs


def main() -> None:
    """Read the command line and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="bigquery.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True, help="port of the REST API")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, required=True, help="where tables and jobs are kept")
    parser.add_argument(
        "--storage-root", type=Path, required=True, help="data directory of the storage emulator: gs:// is read from it"
    )
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="info", help="default: %(default)s"
    )
    arguments = parser.parse_args()

    _refuse_taken_port(arguments.host, arguments.port)
    bigquery_repairs.install()
    # Only now: bqemulator's modules must be repaired before anything holds on to their functions.
    import duckdb
    from bqemulator.config import LogLevel, PersistenceMode, Settings
    from bqemulator.server import run_forever

    settings = Settings(
        rest_host=arguments.host,
        rest_port=arguments.port,
        grpc_port=0,
        persistence_mode=PersistenceMode.PERSISTENT,
        data_dir=arguments.data_dir,
        gcs_local_root=arguments.storage_root,
        log_level=LogLevel(arguments.log_level),
        # The avro extension would be fetched from the network; nothing here reads Avro.
        enable_format_extensions=False,
    )
    # What is loaded by now stays; looking through it for garbage each time a statement has been parsed takes long.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        run_forever(settings)
    except duckdb.IOException as error:
        sys.exit(f"The tables in {arguments.data_dir} cannot be opened: {error}")


def _refuse_taken_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            sys.exit(f"{host}:{port} cannot be used ({error.strerror}): name another --port.")


if __name__ == "__main__":
    main()
