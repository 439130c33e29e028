"""The lab's own eyes: a witness that cannot see a fault proves nothing. No supervisor runs here."""
import chaos
import net
from measure import SamplerLog, WriterLog
from net import VIP
from pair import wait_for


def hold(pair, node, on=True):
    pair[node].call("ip", "address", "add" if on else "del", f"{VIP}/32", "dev", "eth0")


def test_the_witness_sees_two_holders_and_two_writable(unsupervised):
    with unsupervised.sampler() as s:
        hold(unsupervised, "n1")
        wait_for(lambda: s.log().holders(), 10, "an answer")
        assert not s.log().two_answers() and not s.log().two_writable()
        hold(unsupervised, "n2")
        unsupervised.sql("n2", "SET GLOBAL read_only=OFF")
        wait_for(lambda: s.log().two_answers() and s.log().two_writable(), 10, "two of each are seen")


def test_a_handover_by_hand_is_not_two(unsupervised):
    with unsupervised.sampler() as s, unsupervised.writer() as w:
        hold(unsupervised, "n1")
        wait_for(lambda: w.log().of("mysql"), 10, "a write")
        hold(unsupervised, "n1", False)
        unsupervised.sql("n1", "SET GLOBAL read_only=ON")
        unsupervised.sql("n2", "SET GLOBAL read_only=OFF")
        hold(unsupervised, "n2")
        unsupervised["n2"].call("arping", "-U", "-c", "1", "-I", "eth0", VIP)
        wait_for(lambda: w.log().reigns() == ["1", "2"], 10, "writes on n2")
        wait_for(lambda: len(s.log().holders()) == 2, 10, "n2 answers")
        assert not s.log().two_answers() and not s.log().two_writable()
        assert [mac for _, mac in s.log().holders()] == [net.MAC["n1"], net.MAC["n2"]]


def test_a_lost_row_and_the_pause_are_seen(unsupervised):
    hold(unsupervised, "n1")
    with unsupervised.writer() as w:
        wait_for(lambda: len(w.log().of("mysql")) > 50, 10, "writes")
        with unsupervised.frozen("n1", "mysql"):
            wait_for(lambda: any(kind == "mysql" for kind, _, _ in w.log().errors), 10, "a write fails")
        at = len(w.log().acks)
        wait_for(lambda: len(w.log().acks) > at + 50, 10, "writes again")
    log = w.stop()
    assert log.lost("mysql", unsupervised.ids("n1")) == []
    assert log.longest("mysql").seconds > 0.05 and log.common_gap("mysql", log.start) > 0.05
    victim = log.of("mysql")[7].id
    unsupervised.sql("n1", f"DELETE FROM lab.w WHERE id = {victim}")
    assert log.lost("mysql", unsupervised.ids("n1")) == [victim]


def test_power_loss_and_boot(unsupervised):
    before = unsupervised["n1"].call("cat", "/proc/sys/kernel/random/boot_id")
    unsupervised["n1"].power_off()
    assert not unsupervised["n1"].alive("mysql")
    unsupervised.power_on("n1", supervised=False)
    wait_for(lambda: not unsupervised.writable("n1"), 20, "n1 comes up read-only")
    assert unsupervised["n1"].call("cat", "/proc/sys/kernel/random/boot_id") != before
    assert unsupervised.sql("n1", unsupervised.database.status) is None


def test_cuts_one_way_and_both(unsupervised):
    def reaches(a, b):
        return "02:77" in unsupervised[a].call("arping", "-f", "-c", "1", "-w", "1", "-I", "eth0", net.ADDRESS[b], check=False)
    assert reaches("n1", "n2") and reaches("n1", "arbiter")
    unsupervised.wire.cut("n1", "n2")
    assert not reaches("n1", "n2") and reaches("n1", "arbiter") and reaches("n2", "arbiter")
    unsupervised.wire.heal()
    unsupervised.wire.isolate("n1")
    assert not reaches("n1", "arbiter") and reaches("n2", "arbiter")
    unsupervised.wire.heal()
    assert reaches("n1", "n2")


def test_two_reigns_at_once_are_not_mistaken_for_a_handover():
    def log(*acks):
        return WriterLog("".join(f"ack mysql 0 {i} {server} {sent} {at}\n" for i, (server, sent, at) in enumerate(acks)))
    assert log((1, 1, 2), (2, 3, 4), (1, 2.5, 5), (2, 6, 7)).reigns() == ["1", "2"]  # a late answer
    assert log((1, 1, 2), (2, 3, 4), (1, 5, 6)).reigns() == ["1", "2", "1"]
    two = SamplerLog("rw 1 2 a yes\nrw 3 4 b yes\nrw 5 6 a yes\n")
    assert two.two_writable()
    assert not SamplerLog("rw 1 2 a yes\nrw 3 4 b yes\nrw 5 6 a no\nrw 7 8 a yes\n").two_writable()
    assert not SamplerLog("rw 1 2 a yes\nrw 1.5 4 b yes\nrw 5 6 a yes\n").two_writable()  # b's reading may be from before a's


def test_chaos_catches_a_pair_without_gate_and_guard():
    """The whole checker, on a pair that really has two primaries. (`make chaos-broken` takes a rule out of hactl itself.)"""
    complaint = chaos.caught(enforce="none", guards=False)
    assert complaint and "two nodes answered" in complaint, complaint


def test_frozen_machine_stays_on_the_wire(unsupervised):
    """A frozen node's kernel still answers: what makes fencing by silence alone wrong."""
    hold(unsupervised, "n1")
    unsupervised["n1"].freeze()
    with unsupervised.sampler() as s:
        wait_for(lambda: s.log().arps, 10, "the kernel answers for a frozen machine")
    unsupervised["n1"].thaw()
    assert unsupervised.writable("n1")
