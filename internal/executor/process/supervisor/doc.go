// Package supervisor is the process between the controller and the jobs it runs
// on this machine: the same binary, re-executed. It starts the jobs, keeps
// their output, writes down how each ended, and sees to it that none of them
// outlives the controller.
//
//	controller ──socket──▶ supervisor ──fork──▶ job (own process group)
//	     ▲                  │      ▲─────pipe────┘ stdout and stderr
//	     └──started, ended──┤
//	                        ├─▶ journal: what was started, how it ended
//	                        └─▶ logs: head and tail of each attempt's output
//
// Invariants:
//
//   - Nothing is forked before its start is in the journal, and no end is told
//     to the controller before it is there. So after a crash of either side an
//     attempt that ended is known to have ended, and one that is not in the
//     journal was never started.
//   - A run's end is told when no process of it is left: what remains of its
//     group, and on Linux of its descendants, is killed first.
//   - When the socket to the controller closes, every descendant is killed and
//     reaped, then the process ends and with it its lock.
//
// It is one loop on one thread, the main one: all forks happen there, since a
// parent-death signal follows the thread that forked, and so nothing in here
// needs a lock. On Linux the loop waits in epoll for the socket, the jobs'
// output and their pidfds, and adopts orphans as a subreaper; elsewhere it uses
// poll and SIGCHLD, and a process that left its job's group escapes.
package supervisor
