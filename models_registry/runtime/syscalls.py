"""Numbers of the system calls that the filters name, from the kernel's uapi headers. Numbers never change."""

import platform

_X86_64 = (
    "accept4=288 accept=43 access=21 acct=163 add_key=248 adjtimex=159 arch_prctl=158 bind=49 bpf=321 brk=12 "
    "capget=125 chroot=161 clock_adjtime=305 clock_getres=229 clock_gettime=228 clock_nanosleep=230 "
    "clock_settime=227 clone3=435 clone=56 close=3 close_range=436 connect=42 creat=85 delete_module=176 dup=32 "
    "eventfd2=290 execve=59 execveat=322 exit=60 exit_group=231 faccessat2=439 faccessat=269 fallocate=285 "
    "fanotify_init=300 fanotify_mark=301 fcntl=72 fdatasync=75 finit_module=313 fork=57 fsconfig=431 "
    "fsmount=432 fsopen=430 fspick=433 fstat=5 fstatfs=138 fsync=74 ftruncate=77 futex=202 futex_requeue=456 "
    "futex_wait=455 futex_waitv=449 futex_wake=454 get_mempolicy=239 get_robust_list=274 getcpu=309 getcwd=79 "
    "getdents64=217 getdents=78 getegid=108 geteuid=107 getgid=104 getgroups=115 getpgid=121 getpgrp=111 "
    "getpid=39 getppid=110 getpriority=140 getrandom=318 getresgid=120 getresuid=118 getrlimit=97 getrusage=98 "
    "getsid=124 gettid=186 gettimeofday=96 getuid=102 init_module=175 inotify_init1=294 inotify_init=253 "
    "io_setup=206 io_submit=209 io_uring_enter=426 io_uring_register=427 io_uring_setup=425 ioctl=16 ioperm=173 "
    "iopl=172 kcmp=312 kexec_file_load=320 kexec_load=246 keyctl=250 kill=62 landlock_add_rule=445 "
    "landlock_restrict_self=446 listen=50 listmount=458 lookup_dcookie=212 lseek=8 lsm_set_self_attr=460 "
    "lstat=6 madvise=28 mbind=237 membarrier=324 memfd_secret=447 migrate_pages=256 mincore=27 mkdir=83 "
    "mkdirat=258 mknod=133 mknodat=259 mmap=9 modify_ldt=154 mount=165 mount_setattr=442 move_mount=429 "
    "move_pages=279 mprotect=10 mq_open=240 mq_unlink=241 mremap=25 msgget=68 msync=26 munmap=11 "
    "name_to_handle_at=303 nanosleep=35 newfstatat=262 nfsservctl=180 open=2 open_by_handle_at=304 "
    "open_tree=428 open_tree_attr=467 openat2=437 openat=257 perf_event_open=298 personality=135 "
    "pidfd_getfd=438 pidfd_open=434 pidfd_send_signal=424 pivot_root=155 pkey_alloc=330 pkey_free=331 "
    "pkey_mprotect=329 poll=7 ppoll=271 prctl=157 pread64=17 preadv2=327 preadv=295 prlimit64=302 "
    "process_madvise=440 process_vm_readv=310 process_vm_writev=311 pselect6=270 ptrace=101 pwrite64=18 "
    "quotactl=179 quotactl_fd=443 read=0 readlink=89 readlinkat=267 readv=19 reboot=169 rename=82 renameat2=316 "
    "renameat=264 request_key=249 restart_syscall=219 rmdir=84 rseq=334 rt_sigaction=13 rt_sigpending=127 "
    "rt_sigprocmask=14 rt_sigqueueinfo=129 rt_sigreturn=15 rt_sigtimedwait=128 sched_get_priority_max=146 "
    "sched_get_priority_min=147 sched_getaffinity=204 sched_getparam=143 sched_getscheduler=145 sched_yield=24 "
    "select=23 semget=64 set_mempolicy=238 set_mempolicy_home_node=450 set_robust_list=273 set_tid_address=218 "
    "setdomainname=171 sethostname=170 setns=308 settimeofday=164 shmat=30 shmget=29 sigaltstack=131 socket=41 "
    "socketpair=53 stat=4 statfs=137 statmount=457 statx=332 swapoff=168 swapon=167 sysinfo=99 syslog=103 "
    "tgkill=234 time=201 times=100 tkill=200 umask=95 umount2=166 uname=63 unlink=87 unlinkat=263 unshare=272 "
    "userfaultfd=323 vfork=58 vhangup=153 write=1 writev=20"
)
_AARCH64 = (
    "accept4=242 accept=202 acct=89 add_key=217 adjtimex=171 bind=200 bpf=280 brk=214 capget=90 chroot=51 "
    "clock_adjtime=266 clock_getres=114 clock_gettime=113 clock_nanosleep=115 clock_settime=112 clone3=435 "
    "clone=220 close=57 close_range=436 connect=203 delete_module=106 dup=23 eventfd2=19 execve=221 "
    "execveat=281 exit=93 exit_group=94 faccessat2=439 faccessat=48 fallocate=47 fanotify_init=262 "
    "fanotify_mark=263 fcntl=25 fdatasync=83 finit_module=273 fsconfig=431 fsmount=432 fsopen=430 fspick=433 "
    "fstat=80 fstatfs=44 fsync=82 ftruncate=46 futex=98 futex_requeue=456 futex_wait=455 futex_waitv=449 "
    "futex_wake=454 get_mempolicy=236 get_robust_list=100 getcpu=168 getcwd=17 getdents64=61 getegid=177 "
    "geteuid=175 getgid=176 getgroups=158 getpgid=155 getpid=172 getppid=173 getpriority=141 getrandom=278 "
    "getresgid=150 getresuid=148 getrlimit=163 getrusage=165 getsid=156 gettid=178 gettimeofday=169 getuid=174 "
    "init_module=105 inotify_init1=26 io_setup=0 io_submit=2 io_uring_enter=426 io_uring_register=427 "
    "io_uring_setup=425 ioctl=29 kcmp=272 kexec_file_load=294 kexec_load=104 keyctl=219 kill=129 "
    "landlock_add_rule=445 landlock_restrict_self=446 listen=201 listmount=458 lookup_dcookie=18 lseek=62 "
    "lsm_set_self_attr=460 madvise=233 mbind=235 membarrier=283 memfd_secret=447 migrate_pages=238 mincore=232 "
    "mkdirat=34 mknodat=33 mmap=222 mount=40 mount_setattr=442 move_mount=429 move_pages=239 mprotect=226 "
    "mq_open=180 mq_unlink=181 mremap=216 msgget=186 msync=227 munmap=215 name_to_handle_at=264 nanosleep=101 "
    "newfstatat=79 nfsservctl=42 open_by_handle_at=265 open_tree=428 open_tree_attr=467 openat2=437 openat=56 "
    "perf_event_open=241 personality=92 pidfd_getfd=438 pidfd_open=434 pidfd_send_signal=424 pivot_root=41 "
    "pkey_alloc=289 pkey_free=290 pkey_mprotect=288 ppoll=73 prctl=167 pread64=67 preadv2=286 preadv=69 "
    "prlimit64=261 process_madvise=440 process_vm_readv=270 process_vm_writev=271 pselect6=72 ptrace=117 "
    "pwrite64=68 quotactl=60 quotactl_fd=443 read=63 readlinkat=78 readv=65 reboot=142 renameat2=276 "
    "renameat=38 request_key=218 restart_syscall=128 rseq=293 rt_sigaction=134 rt_sigpending=136 "
    "rt_sigprocmask=135 rt_sigqueueinfo=138 rt_sigreturn=139 rt_sigtimedwait=137 sched_get_priority_max=125 "
    "sched_get_priority_min=126 sched_getaffinity=123 sched_getparam=121 sched_getscheduler=120 sched_yield=124 "
    "semget=190 set_mempolicy=237 set_mempolicy_home_node=450 set_robust_list=99 set_tid_address=96 "
    "setdomainname=162 sethostname=161 setns=268 settimeofday=170 shmat=196 shmget=194 sigaltstack=132 "
    "socket=198 socketpair=199 statfs=43 statmount=457 statx=291 swapoff=225 swapon=224 sysinfo=179 syslog=116 "
    "tgkill=131 times=153 tkill=130 umask=166 umount2=39 uname=160 unlinkat=35 unshare=97 userfaultfd=282 "
    "vhangup=58 write=64 writev=66"
)


def _table(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in (entry.split("=") for entry in text.split())}


# Machine -> (AUDIT_ARCH of its 64-bit ABI, number of each call that this machine has).
MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, _table(_X86_64)),
    "aarch64": (0xC00000B7, _table(_AARCH64)),
}


def current() -> tuple[int, dict[str, int]]:
    """This machine's entry. Raises NotImplementedError for an architecture without a table."""
    machine = platform.machine()
    if machine not in MACHINES:
        raise NotImplementedError(f"the sandbox knows x86_64 and aarch64; this machine is {machine}")
    return MACHINES[machine]
