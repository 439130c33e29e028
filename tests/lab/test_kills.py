"""What `make kills` does for an hour, twice: the primary is killed under eight writers, and the pair is redundant again without a person."""
import pytest

import kills
from chaos import Failed, Fault
from flavour import MariaDB, MySQL

KILLS = [[Fault("power loss", "primary", 0.3, 1.0)], [Fault("kill mysql", "primary", 0.3, 0.2), Fault("kill hactl", "primary", 0.3, 0.1)]]


@pytest.fixture(params=[MariaDB, MySQL], ids=["MariaDB", "MySQL"])
def stage(request):
    s = kills.Stage(request.param)
    yield s
    if getattr(request.node, "failed", True):
        s.keep(request.node.name, [], "lab-logs")
    s.close()


def test_two_kills_and_redundant_after_each(stage):
    for faults in KILLS:
        told = stage.round(faults, [])
    primary = told["primary"]
    # the judge's own eyes: an acknowledged row that is gone is seen
    stage.pair.sql(primary, f"DELETE FROM lab.w WHERE id = {min(stage.acked['mysql'])}")
    with pytest.raises(Failed, match="1 acknowledged MySQL rows are not on"):
        stage.judge([], primary, told["start"], primary)
