// Template files: what is accepted is written back to a text that gives the same template.
#include <cstdlib>

#include "wrap/x509/template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyferry;
  const auto read = x509::parse_template(as_chars({data, size}));
  const auto* accepted = std::get_if<x509::DeviceTemplate>(&read);
  if (accepted == nullptr) return 0;
  const auto again = x509::parse_template(x509::template_text(*accepted));
  const auto* same = std::get_if<x509::DeviceTemplate>(&again);
  if (same == nullptr || !(*same == *accepted)) std::abort();
  return 0;
}
