// What keyferry-token-reader gives away before it looks at a stick: everything but reading that folder and talking to who
// started it. A file system that takes the reader over gets a process that can do nothing else.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace keyferry::appliance {

/// Landlock (no file but below `token`, read only; no TCP), no new privileges, no core image, and a filter of system calls
/// without files to write, sockets to open and programs to start. Returns a sentence for each that the kernel does not have
/// (Landlock before 5.13), or that a build with sanitizers leaves out. Error{Refused}: the kernel knows it and said no.
std::vector<std::string> enter_sandbox(const std::filesystem::path& token);

}  // namespace keyferry::appliance
