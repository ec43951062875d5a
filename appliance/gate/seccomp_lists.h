// Names of system calls by what they are for, for seccomp.cpp. A name that this machine's kernel or processor does not
// have is passed over.
#pragma once

#include <array>

namespace keyferry::appliance::calls {

inline constexpr std::array kAllowed{
    // memory
    "brk", "munmap", "mremap", "madvise", "msync", "mincore", "mlock", "mlock2", "munlock", "mlockall", "membarrier",
    // files: the HSM's store, settings, the count of wrong PINs, libraries that a module loads late
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "lseek", "_llseek", "close",
    "close_range", "open", "openat", "fstat", "stat", "lstat", "newfstatat", "fstatat64", "statx", "statfs", "fstatfs", "access",
    "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "fcntl", "fcntl64", "flock", "fsync",
    "fdatasync", "ftruncate", "truncate", "fallocate", "fadvise64", "rename", "renameat", "renameat2",
    "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "umask", "dup", "dup2", "dup3", "pipe", "pipe2", "sendfile",
    // waiting
    "poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
    "eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime", "nanosleep", "clock_nanosleep", "futex",
    "sched_yield", "restart_syscall",
    // sockets that are open already, and connect(2) of those that socket(2) grants
    "recvfrom", "recvmsg", "sendto", "sendmsg", "shutdown", "getsockopt", "setsockopt", "getsockname", "getpeername", "connect",
    // threads and signals of one's own
    "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "sched_getaffinity", "sched_setaffinity", "getcpu",
    "gettid", "exit", "exit_group", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait",
    "sigaltstack", "signalfd4", "arch_prctl",
    // questions
    "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid", "getresgid", "getpgrp",
    "getpgid", "getsid", "uname", "sysinfo", "getrusage", "times", "time", "gettimeofday", "clock_gettime",
    "clock_getres", "getrandom", "getrlimit"};

/// The gate's alone, and so a worker's until its login: starting and ending workers, serving the socket.
inline constexpr std::array kAllowedToGate{"execve", "wait4", "waitid", "kill", "tgkill", "accept4", "accept",
                                           "bind", "listen", "seccomp", "setrlimit", "prlimit64"};

/// Nothing that gate or worker ever do; what somebody in their place would try.
inline constexpr std::array kDangerous{
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "perf_event_open",
    // the kernel itself
    "bpf", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "init_module", "finit_module",
    "delete_module", "kexec_load", "kexec_file_load", "reboot", "syslog", "lookup_dcookie", "uselib", "modify_ldt",
    "vm86", "vm86old", "personality", "iopl", "ioperm", "nfsservctl",
    // what the system looks like
    "mount", "umount", "umount2", "pivot_root", "chroot", "setns", "unshare", "fsopen", "fsconfig", "fsmount", "fspick",
    "move_mount", "open_tree", "mount_setattr", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "fanotify_init",
    "open_by_handle_at", "name_to_handle_at", "mknod", "mknodat", "sethostname", "setdomainname", "vhangup",
    // time
    "settimeofday", "clock_settime", "clock_settime64", "clock_adjtime", "adjtimex", "stime",
    // who one is
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capset",
    // key rings
    "keyctl", "add_key", "request_key"};

/// A worker's: it starts nothing.
inline constexpr std::array kDangerousToWorker{"execve", "execveat", "fork", "vfork"};

}  // namespace keyferry::appliance::calls
