#include "appliance/gate/hsm_pin.h"

#include <botan/mem_ops.h>

#include "wrap/base/process.h"

namespace keyferry::appliance {
namespace {

bool same(const SecretBytes& a, const SecretBytes& b) {
  return a.size() == b.size() && Botan::constant_time_compare(a.expose().data(), b.expose().data(), a.size());
}

}  // namespace

SecretBytes obtain_pin(const GateSettings& settings, int pin_fd, bool new_pin) {
  if (pin_fd >= 0) {
    const Fd fd{pin_fd};
    return read_secret_line(fd.get());
  }
  if (const auto file = pin_file(settings)) {
    if (settings.kind == Environment::Production) {
      throw Error{Code::Refused, "pin-source=file: is for development and rehearsal, not for production"};
    }
    return read_secret_file(*file);
  }
  SecretBytes pin = prompt_secret("PIN of the appliance's HSM: ");
  if (new_pin && !same(pin, prompt_secret("the same PIN again: "))) {
    throw Error{Code::Usage, "the two PINs differ", "give the same command again"};
  }
  return pin;
}

}  // namespace keyferry::appliance
