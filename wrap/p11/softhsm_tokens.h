// SoftHSM's token.object against a cut. SoftHSM 2.6 empties that file and fills it again at every
// login, without a temporary name: a kill in between leaves a token that nobody can log in to, with
// every key in it. So each has a copy beside it, `token.copy`, a name that SoftHSM passes over. It
// holds what token.object holds: PIN-sealed key material.
#pragma once

#include <filesystem>

namespace keyferry::p11 {

/// Called before a module is loaded, that is before every login. `store`: SoftHSM's
/// directories.tokendir; a folder that is none, or is not there, stays as it is. Puts an emptied
/// token.object back from its copy, and makes or renews the copy of a whole one. Both files are
/// durable when this returns. Error{Storage}.
void keep_softhsm_tokens(const std::filesystem::path& store);

}  // namespace keyferry::p11
