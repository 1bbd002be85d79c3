// Package process runs jobs as processes of this machine and keeps their
// records in the shared database.
//
// It has two halves: the Executor in the controller's process, and the
// supervisor (package supervisor), the same binary re-executed, that forks the
// jobs and writes down how each ended. Whichever of them is killed, every
// process of a job is gone before anything is started in its place.
//
// What is on disk when:
//
//	Create      record and content   synced, before Create returns and before the fork
//	fork        start, in the journal   written before the fork
//	exit        end, in the journal     written before anybody hears of it
//	exit        record                  written, synced with the next sync, 50 ms later at most
//	attempt 2…  record                  synced before the fork
//
// So after kill -9 of either half no attempt that ended is run again, and one
// that was never started is started under its own number; the one that ran is
// Interrupted, and its job goes on with the next attempt. A power cut can take
// the ends of the last 50 ms with it: those jobs are run again, as a further
// attempt. To avoid that, each end would have to be synced before it is told,
// which is a sync per job where jobs come one by one.
//
// A job stopped together with the controller counts as interrupted also when
// it answers SIGTERM with exit code 0, since that says nothing of its work.
//
// Bodies, payloads and variables are in the store alone: a record in memory is a
// few hundred bytes whatever its message's size.
//
// A job that kills its own supervisor (its parent) takes all jobs that run with
// it. Those that saw two such deaths in a row run one at a time from then on, so
// that the one that sees five is the one to blame: it is Failed, as Interrupted.
// Deaths of the controller don't count. The log and the metric of restarts tell.
//
// On Linux nothing of a job survives it: what left its process group is found
// as an adopted orphan, or, when the supervisor itself was killed, by the marker
// in its environment. Elsewhere (macOS) process groups are all there is: a
// process that calls setsid escapes, and a supervisor that is killed with
// SIGKILL leaves its jobs behind.
package process
