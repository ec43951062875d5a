// Gives one command of a step: a program of this product as a child that ends with us, its terminal ours.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "appliance/front/ceremony/desk.h"

namespace keyferry::ceremony {

inline constexpr std::size_t kMaxKeptChars = 256 * 1024;  // of output and of messages, each

struct Given {
  int status = 0;
  std::string output;         // stdout as plain text: other than printable ASCII and line ends as \xNN
  std::string messages;       // stderr, the same
  std::string output_sha256;  // of stdout as it was written
  bool cut = false;           // more than kMaxKeptChars: the rest is not kept
  std::string raw_output;     // the first 1 MiB of stdout, for the values that are captured
};

enum class Record {
  Everything,  // output is kept, and shown by `show` while it comes
  Nothing      // a custodian's: terminal and program are left to each other
};

/// argv[0] is looked for beside the running program. stdin is the terminal, or empty when nobody attends.
[[nodiscard]] Given give_command(const std::vector<std::string>& argv,
                                 const Additions& additions,
                                 Record record,
                                 bool attended,
                                 const std::function<void(const std::string&)>& show);

}  // namespace keyferry::ceremony
