// Cut points: places where a test kills the process to show that the work can be finished afterwards (I7).
// Compiled only with KEYFERRY_TEST_HOOKS; in other builds KF_CUT is nothing and a production store is allowed.
//   KEYFERRY_CUT=name[:n]      the process kills itself with SIGKILL at the n-th passage (from 1) of that point
//   KEYFERRY_CUT_TRACE=FILE    each passage appends a line "name PID"
//   KEYFERRY_HOLD=name:FIFO    each passage of that point opens the pipe and goes on when its writer has closed it,
//                              or when there is no such pipe any more
// Tests read the names out of the sources: keep each name a literal, unique in the tree, `program.place`.
#pragma once

namespace keyferry {

#ifdef KEYFERRY_TEST_HOOKS
inline constexpr bool kTestHooks = true;
void cut_point(const char* name);
#define KF_CUT(name) ::keyferry::cut_point(name)
#else
inline constexpr bool kTestHooks = false;
#define KF_CUT(name) static_cast<void>(0)
#endif

}  // namespace keyferry
