// `se import`: a file of a source, approved by its SHA-256, all or nothing. Rows stream through in
// constant memory: staged in chunks, visible by the action of the approved plan; what a cut run
// staged is removed by the next one.
#pragma once

#include <filesystem>
#include <string>

namespace keyferry::appliance {

class Context;

/// Exit status. Error{Refused} with every problem (20 at most) shown on stderr before.
int se_import(Context& context, const std::filesystem::path& file, const std::string& source);

}  // namespace keyferry::appliance
