"""Which fault strikes where, and what has to come of it. The words of the scripts: tests/shim/README.md."""
import dataclasses

from shimmed import SEGMENTS

IN_THE_RUN = "completes in the same run"
NEXT_RUN = "stops, and the next run completes"
EITHER = "one of the two"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    script: str  # {once}: a file that is there when the fault has struck
    outcome: str
    words: tuple = ()  # of the error, when it stops
    gate: dict = dataclasses.field(default_factory=dict)  # Shimmed.set_gate
    lifted: bool = False  # the script does not rule the second run
    strikes: bool = True  # {once} has to be there afterwards


# Calls of the record loop, each with the filter that leaves everything else out.
PLACES = {
    "derive": "C_DeriveKey label=kf-tk/*",
    "read-transport": "C_GetAttributeValue class=secret label=",
    "generate": "C_GenerateKeyPair label=",
    "read-point": "C_GetAttributeValue class=public label=",
    "wrap": "C_WrapKey label=",
    "sign-init": "C_SignInit label=kf-ca/*",
    "sign": "C_Sign label=kf-ca/*",
    "destroy-private": "C_DestroyObject class=private label=",
    "destroy-public": "C_DestroyObject class=public label=",
    "destroy-secret": "C_DestroyObject class=secret label=",
}

FAULTS = {
    "session-closed": "rv=CKR_SESSION_HANDLE_INVALID close",
    "device-removed": "rv=CKR_DEVICE_REMOVED gone sticky",
    "device-memory": "rv=CKR_DEVICE_MEMORY",
    "function-failed": "rv=CKR_FUNCTION_FAILED",
    "general-error": "rv=CKR_GENERAL_ERROR",
    "logged-out": "rv=CKR_USER_NOT_LOGGED_IN logout",
    "answer-lost": "rv=CKR_FUNCTION_FAILED after",
    "killed": "kill",
}

# Calls with an unlabelled secret key that the probe makes first, when the worker logs in: ECDH's shared secret.
PROBED = {"read-transport": 1, "destroy-secret": 1}

POSITIONS = ("first", "middle", "last")
KILLED = "killed"
KILL_GATE = {"seccomp": "off"}  # the strict filter does not let the shim kill
KILL_WORDS = ("has ended", "same command again")  # the worker, or the gate whose last words were lost with it


def watch_script():
    """Counts the calls at each place in a batch that nothing disturbs."""
    return "".join(f"watch {place} name={name}\n" for name, place in PLACES.items())


def fault_line(where, what, nth):
    return f"fault {where} {what} nth={nth} once={{once}}\n"


def loop_case(place, fault, position, calls):
    """calls: at this place in a whole batch."""
    first = 1 + PROBED.get(place, 0)
    nth = {"first": first, "middle": calls // 2, "last": calls}[position]
    killed = fault == KILLED
    return Case(f"{place}, {position} record, {fault}", fault_line(PLACES[place], FAULTS[fault], nth),
                NEXT_RUN if killed else IN_THE_RUN, KILL_WORDS if killed else (), KILL_GATE if killed else {})


def all_loop_cases(calls):
    return [loop_case(place, fault, position, calls[place])
            for place in PLACES for position in POSITIONS for fault in FAULTS]


def some_loop_cases(calls):
    """Each place once at each position, the faults in turn so that each meets all positions."""
    names = list(FAULTS)
    cases = []
    for p, place in enumerate(PLACES):
        for q, position in enumerate(POSITIONS):
            cases.append(loop_case(place, names[(3 * p + q + p // 8) % len(names)], position, calls[place]))
    return cases


# --- around the loop --------------------------------------------------------------------------------------------------

# States of a batch: its start, one for each segment, the manifest, its end.
STATES = SEGMENTS + 3

AROUND = {
    # once for each process that starts: the first is the one that keeps kf-state
    "initialize": ("C_Initialize", (1,)),
    "slot-list": ("C_GetSlotList", (1,)),
    "open-session": ("C_OpenSession", (1,)),
    "find-master-init": ("C_FindObjectsInit label=kf-tk/*", (1,)),
    "find-master": ("C_FindObjects label=kf-tk/*", (1, 2)),
    "find-export": ("C_FindObjectsInit label=kf-export", (1, 2)),
    "probe": ("C_GetAttributeValue class=secret label=", (1,)),
    "read-state": ("C_GetAttributeValue class=data label=kf-state", (1, 3)),
    "create-state": ("C_CreateObject class=data label=kf-state", (1, 2, STATES)),
    "destroy-state": ("C_DestroyObject class=data label=kf-state", (1, 2, STATES)),
    "sign-log-init": ("C_SignInit label=kf-log", (2,)),
    "sign-log": ("C_Sign label=kf-log", (2, 5)),
    "sign-trailer-init": ("C_SignInit label=kf-export", (1, SEGMENTS)),
    "sign-trailer": ("C_Sign label=kf-export", (1, 2, SEGMENTS, SEGMENTS + 1)),
}

IN_SERVICE = ("create-state", "destroy-state", "sign-trailer-init", "sign-trailer", "find-master-init", "find-master")
NO_LOGIN_YET = ("initialize", "slot-list", "open-session")  # no session that could be closed


def around_case(name, nth, fault):
    where, _ = AROUND[name]
    killed = fault == KILLED
    outcome = NEXT_RUN if killed else IN_THE_RUN if name in IN_SERVICE else EITHER
    return Case(f"{name} {nth}, {fault}", fault_line(where, FAULTS[fault], nth), outcome, KILL_WORDS if killed else (),
                KILL_GATE if killed else {})


def all_around_cases():
    return [around_case(name, nth, fault) for name, (_, times) in AROUND.items() for nth in times for fault in FAULTS
            if name not in NO_LOGIN_YET or fault in ("device-removed", "function-failed", "general-error", KILLED)]


def some_around_cases():
    return [around_case(*one) for one in (
        ("initialize", 1, "general-error"), ("slot-list", 1, "device-removed"), ("open-session", 1, "function-failed"),
        ("find-master-init", 1, "session-closed"), ("find-master", 2, "device-removed"), ("find-export", 2, "general-error"),
        ("create-state", 2, "answer-lost"), ("create-state", 2, "device-removed"), ("create-state", 2, "killed"),
        ("destroy-state", STATES, "session-closed"), ("destroy-state", 1, "function-failed"), ("sign-log", 5, "device-memory"),
        ("sign-trailer", 1, "session-closed"), ("sign-trailer", SEGMENTS + 1, "device-removed"),
        ("sign-trailer-init", SEGMENTS, "logged-out"), ("sign-trailer", 2, "killed"))]


def special_cases():
    """Two faults in a row, what cannot be recovered, limits."""
    wrap = PLACES["wrap"]
    close = f"fault {wrap} rv=CKR_SESSION_HANDLE_INVALID close nth=250 once={{once}}\n"
    return [
        # the recovery's own calls; a login that broke off is not tried again by itself
        Case("the new session is refused once", close + "fault C_OpenSession nth=2 rv=CKR_DEVICE_REMOVED once={once}-2\n", IN_THE_RUN),
        Case("the new login breaks off", close + "fault C_Login nth=2 rv=CKR_DEVICE_ERROR once={once}-2\n", NEXT_RUN,
             ("C_Login", "not tried again")),
        Case("the first login breaks off", "fault C_Login nth=1 rv=CKR_DEVICE_ERROR once={once}\n", NEXT_RUN, ("C_Login",)),
        Case("keys are not found again", close + "fault C_FindObjects label=kf-ca/* nth=12 rv=CKR_DEVICE_MEMORY once={once}-2\n", EITHER),
        # what stays broken is told, and not tried for ever
        Case("wrapping fails for good", f"fault {wrap} rv=CKR_FUNCTION_FAILED nth=300 repeat\n", NEXT_RUN,
             ("C_WrapKey: CKR_FUNCTION_FAILED", "same command again"), lifted=True, strikes=False),
        Case("a key that is not wrappable", f"fault {wrap} rv=CKR_KEY_NOT_WRAPPABLE nth=300\n", NEXT_RUN,
             ("C_WrapKey: CKR_KEY_NOT_WRAPPABLE",), lifted=True, strikes=False),
        Case("the device goes away again and again", f"fault {wrap} rv=CKR_DEVICE_REMOVED gone sticky nth=1 repeat\n", NEXT_RUN,
             ("CKR_DEVICE_REMOVED", "reconnect", "same command again"), lifted=True, strikes=False),
        # limits
        Case("one session for each process, four threads wanted", "max-sessions 1\n", IN_THE_RUN, gate={"threads": 4}, strikes=False),
        Case("three sessions for each process, four threads wanted", "max-sessions 3\n", IN_THE_RUN, gate={"threads": 4}, strikes=False),
        Case("two sessions in all, two workers wanted", "max-sessions 2 {once}-places\n", IN_THE_RUN, gate={"workers": 2}, strikes=False),
        Case("one session in all", "max-sessions 1 {once}-places\n", NEXT_RUN, ("CKR_SESSION_COUNT", "no more sessions"), lifted=True,
             strikes=False),
        Case("room for one record's keys", "max-objects 6\n", IN_THE_RUN, strikes=False),
        Case("no room for a record's keys", f"fault {wrap} rv=CKR_DEVICE_MEMORY repeat\n", NEXT_RUN, ("CKR_DEVICE_MEMORY", "no room"),
             lifted=True, strikes=False),
        # two workers and threads
        Case("two workers, a session closed", close, IN_THE_RUN, gate={"workers": 2}, strikes=False),
        Case("two workers, one killed", "fault C_WrapKey label= kill nth=100 once={once}\n", NEXT_RUN, KILL_WORDS,
             gate={"workers": 2, **KILL_GATE}),
        Case("four threads, a session closed", close, IN_THE_RUN, gate={"threads": 4}),
        Case("four threads, the device removed", fault_line(wrap, FAULTS["device-removed"], 250), IN_THE_RUN, gate={"threads": 4}),
        Case("four threads, the login ended", fault_line(PLACES["sign"], FAULTS["logged-out"], 111), IN_THE_RUN, gate={"threads": 4}),
        Case("four threads, keys not destroyed", fault_line(PLACES["destroy-private"], FAULTS["general-error"], 222), IN_THE_RUN,
             gate={"threads": 4}),
    ]
