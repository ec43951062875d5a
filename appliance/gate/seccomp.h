// The system call filters of gate and worker (libseccomp). They bind every thread of the process and whatever it starts,
// and cannot be taken off.
//
// strict         Only listed calls work. What is listed nowhere fails with ENOSYS, so that a library takes its other way
//                (and the kernel may log it); what a taken-over process would want kills the process.
// network-module For modules that we cannot try: all calls but the dangerous ones, and sockets of the internet too.
// off            No filter: development and rehearsal only, shown on every screen.
//
//                              gate                             worker (once it has logged in)
// start a program              yes: its workers. A filter       kills
//                              cannot read the path
// fork                         yes (no new namespaces)          kills; threads are fine
// sockets                      AF_UNIX; else kills              AF_UNIX datagram (syslog); else kills
//   with network-module        AF_UNIX, IPv4, IPv6, netlink route; else kills
// memory that is code and      kills (network-module: yes,      kills
//   may be written             the worker loads its module)
// other processes' memory, tracing, mounts, namespaces, modules, kexec, BPF, io_uring, key rings, clocks, other users,
//   device nodes, keystrokes into a terminal (TIOCSTI), becoming dumpable: kills
//
// A worker starts under the gate's filter and adds its own after its module is loaded and the login is done. File names
// cannot be filtered: files are the business of the user that the gate runs as, and of its unit in deploy/.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "appliance/gate/settings.h"

namespace keyferry::appliance {

enum class FilteredProcess { Gate, Worker };

/// Installs the filter for all threads and says so in a sentence. SystemCallFilter::Off, or a build with sanitizers
/// (they need calls of their own): installs nothing and says that. Error{Refused} when the kernel does not take it.
std::string install_filter(FilteredProcess process, SystemCallFilter filter);

/// Why there will be no filter, as the name of an override ("seccomp (...)"); nothing when there will be one.
[[nodiscard]] std::optional<std::string> filter_missing(SystemCallFilter filter);

/// The name of the system call for which the kernel ended process `pid`, from the kernel's log; nothing where that log
/// cannot be read. Waits up to a tenth of a second for the record.
[[nodiscard]] std::optional<std::string> refused_system_call(pid_t pid);

}  // namespace keyferry::appliance
