# SPDX-License-Identifier: MIT
"""gdb commands for programs that use libstrand: on a live process and on a core file.

    source strand-gdb.py
    strand tasks         a table of all tasks
    strand bt ID         the stack of one task, outwards to its entry
    strand bt all        of all tasks

They read the runtime's structures by its debug information, so libstrand (or the program that
it is linked into) needs it: built with -g, not stripped, or with a separate debug file.
"""

import gdb
import gdb.unwinder


def runtime():
    """struct runtime of the inferior."""
    found = gdb.lookup_static_symbol("the_runtime")
    if found is None:
        # In a library that gdb has not read yet, lookup by file forces it.
        try:
            value = gdb.parse_and_eval("'user/strand/runtime.c'::the_runtime")
        except gdb.error:
            raise gdb.GdbError(
                "strand: cannot find the runtime: libstrand has no debug information; "
                "try a build that is not stripped"
            )
    else:
        value = found.value()
    if int(value) == 0:
        raise gdb.GdbError("strand: the runtime is not running")
    return value.cast(gdb.lookup_type("struct runtime").pointer()).dereference()


def plain(value):
    """The integer behind a value, _Atomic or not."""
    return int(value.cast(value.type.strip_typedefs().unqualified()))


def state_of(task):
    """new, ready, running, ... by the runtime's own enum."""
    number = plain(task["state"])
    for field in gdb.lookup_type("enum task_state").fields():
        if field.enumval == number:
            return field.name[len("TASK_"):].lower()
    return "unknown"


def tasks():
    """All tasks that exist, by id."""
    task_type = gdb.lookup_type("struct task")
    found = []
    slab = runtime()["tasks"]["slabs"]
    while int(slab):
        first = slab["tasks"][0].address.cast(task_type.pointer())
        for i in range(int(slab["count"])):
            task = (first + i).dereference()
            if state_of(task) != "free":
                found.append(task)
        slab = slab["next"]
    return sorted(found, key=lambda task: int(task["id"]))


def name_of(task):
    raw = bytes(int(task["name"][i]) & 0xFF for i in range(task["name"].type.sizeof))
    return raw.split(b"\0")[0].decode("ascii", "replace")


def reasons():
    """Wait reasons by number, as people know them."""
    texts = {}
    for field in gdb.lookup_type("enum strand_wait_reason").fields():
        text = field.name[len("STRAND_WAIT_"):].replace("_", " ").lower()
        text = text.replace("io wait", "IO wait").replace(" nil", " (nil chan)")
        texts[field.enumval] = text.replace("select no cases", "select (no cases)")
    return texts


def newest_time():
    """The last time that a worker looked at the clock: a core file has no other now."""
    newest = 0
    rt = runtime()
    for i in range(int(rt["worker_count"])):
        newest = max(newest, int(rt["workers"][i]["polled_at"]))
    return newest


def place_of(pc):
    """The function around a return address, and its line."""
    pc -= 1
    block = gdb.block_for_pc(pc)
    while block is not None and block.function is None:
        block = block.superblock
    line = gdb.find_pc_line(pc)
    if block is not None and line.symtab is not None:
        return "%s at %s:%d" % (block.function.name, line.symtab.filename, line.line)
    return gdb.execute("info symbol 0x%x" % pc, to_string=True).split(" in section")[0].strip()


def registers_of(task):
    """The registers that switch_stack has saved (see switch_ARCH.S), and its caller's pc and sp."""
    sp = int(task["sp"])
    words = gdb.selected_inferior().read_memory(sp, 8 * 24 if is_aarch64() else 8 * 8)
    word = memoryview(words.tobytes()).cast("Q")
    if is_aarch64():
        saved = {"x29": word[0], "x30": word[1]}
        saved.update(("x%d" % (19 + i), word[2 + i]) for i in range(10))
        saved.update(pc=word[1], sp=sp + 176)
        return saved
    names = ("r15", "r14", "r13", "r12", "rbx", "rbp", "rip")
    saved = {name: word[1 + i] for i, name in enumerate(names)}
    saved["rsp"] = sp + 64
    return saved


def is_aarch64():
    return "aarch64" in gdb.selected_inferior().architecture().name()


class SwitchedOut(gdb.unwinder.Unwinder):
    """Makes a task's saved frame the caller of the innermost frame, while `registers` is set.

    Registers are not written: so it works on core files, and cannot harm a live process.
    """

    class Frame:
        def __init__(self, sp, pc):
            self.sp = sp
            self.pc = pc

    def __init__(self):
        super().__init__("strand")
        self.registers = None
        self.innermost = None
        self.sp = 0

    def __call__(self, pending):
        if self.registers is None:
            return None
        sp_name, pc_name = ("sp", "pc") if is_aarch64() else ("rsp", "rip")
        here = (int(pending.read_register(sp_name)), int(pending.read_register(pc_name)))
        if here != self.innermost:
            return None
        # gdb stops where a caller's frame is lower than its callee's: so it gets the task's sp.
        info = pending.create_unwind_info(
            self.Frame(gdb.Value(self.sp), gdb.Value(here[1]))
        )
        for name, value in self.registers.items():
            like = pending.read_register(name)
            info.add_saved_register(name, gdb.Value(value).cast(like.type))
        return info


unwinder = SwitchedOut()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)


def frames_of(task):
    """Lines of a backtrace of a task that is not running."""
    newest = gdb.newest_frame()
    sp_name = "sp" if is_aarch64() else "rsp"
    unwinder.innermost = (int(newest.read_register(sp_name)), newest.pc())
    unwinder.registers = registers_of(task)
    unwinder.sp = int(task["sp"])
    gdb.invalidate_cached_frames()
    try:
        lines = []
        frame = gdb.newest_frame().older()
        while frame is not None and len(lines) < 1000:
            lines.append("#%-2d 0x%016x in %s" % (len(lines), frame.pc(), describe(frame)))
            frame = frame.older()
        return lines
    finally:
        unwinder.registers = None
        gdb.invalidate_cached_frames()


def describe(frame):
    where = frame.find_sal()
    text = "%s ()" % (frame.name() or "??")
    if where.symtab is not None:
        text += " at %s:%d" % (where.symtab.filename, where.line)
    return text


class Strand(gdb.Command):
    """Tasks of a program that uses libstrand: strand tasks, strand bt ID."""

    def __init__(self):
        super().__init__("strand", gdb.COMMAND_STACK, prefix=True)


class StrandTasks(gdb.Command):
    """List all tasks: id, name, state, wait reason, age, and where they wait."""

    def __init__(self):
        super().__init__("strand tasks", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        texts, now = reasons(), newest_time()
        print("%8s  %-23s %-8s %-22s %9s  %s" % ("ID", "NAME", "STATE", "REASON", "AGE", "WHERE"))
        for task in tasks():
            state = state_of(task)
            reason, age, where = "", "", ""
            if state == "parked":
                since = int(task["since"])
                reason = texts.get(int(task["reason"]), "unknown")
                age = "%.3fs" % (max(0, now - since) / 1e9) if since else "new"
                where = place_of(int(task["where"]["pc"]))
            elif state == "new":
                where = place_of(int(task["fn"].cast(gdb.lookup_type("long"))) + 1)
            print("%8d  %-23s %-8s %-22s %9s  %s"
                  % (int(task["id"]), name_of(task), state, reason, age, where))


class StrandBacktrace(gdb.Command):
    """The stack of a task: strand bt ID, or strand bt all."""

    def __init__(self):
        super().__init__("strand bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = argument.strip()
        if wanted != "all" and not wanted.isdigit():
            raise gdb.GdbError("usage: strand bt ID, or strand bt all")
        chosen = [task for task in tasks() if wanted in ("all", str(int(task["id"])))]
        if not chosen:
            raise gdb.GdbError("strand: there is no task %s; try: strand tasks" % wanted)
        for task in chosen:
            self.show(task)

    def show(self, task):
        state = state_of(task)
        print('task %d "%s" [%s]' % (int(task["id"]), name_of(task), state))
        if state == "running":
            index = int(task["worker"].cast(gdb.lookup_type("struct worker").pointer())["index"])
            print("it runs on worker %d: see its thread (info threads)" % index)
        elif state == "new":
            print("it has not started")
        else:
            for line in frames_of(task):
                print(line)


Strand()
StrandTasks()
StrandBacktrace()
