// keyferry-lane-p11: holds one SE's PKCS#11 module away from the station's memory. Descriptor 3 is
// the socket to the station; there are no arguments. It ends with its station.
#include <signal.h>

#include <cstdlib>
#include <memory>
#include <optional>

#include "station-agent/lane-p11/device.h"
#include "station-agent/lane-p11/messages.h"
#include "station-agent/softhsm_conf.h"
#include "wrap/base/frame.h"
#include "wrap/base/process.h"
#include "wrap/p11/error.h"

namespace {

using namespace keyferry;
namespace lane = keyferry::lane_p11;

constexpr int kStation = 3;

lane::Reply reply_to(const lane::Request& request, std::unique_ptr<lane::Device>& device) {
  if (const auto* open = std::get_if<lane::Open>(&request)) {
    if (device) return lane::Refused{Refusal{"out-of-order", "the SE is open already"}};
    const auto uri = p11::parse_uri(open->uri);
    if (const auto* refusal = std::get_if<Refusal>(&uri)) return lane::Refused{*refusal};
    device =
        std::make_unique<lane::Device>(std::get<p11::Uri>(uri), station::softhsm_store_in_use());
    return device->open();
  }
  if (!device) return lane::Refused{Refusal{"out-of-order", "the SE is not open"}};
  return std::visit(
      [&](const auto& one) -> lane::Reply {
        if constexpr (std::is_same_v<std::decay_t<decltype(one)>, lane::Open>) {
          return lane::Refused{Refusal{"out-of-order", "the SE is open already"}};
        } else {
          return device->answer(one);
        }
      },
      request);
}

int serve() {
  std::unique_ptr<lane::Device> device;
  while (const auto frame = read_frame(kStation)) {
    const auto request = lane::parse_request(*frame);
    if (!request) return exit_status(Code::Channel);
    lane::Reply reply;
    try {
      reply = reply_to(*request, device);
    } catch (const Error& error) {
      reply = lane::Lost{error.what()};
    }
    write_frame(kStation, lane::serialise(reply));
    if (std::holds_alternative<lane::Lost>(reply)) return exit_status(Code::Hsm);
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main() {
  harden_process();
  if (!die_with_parent()) return EXIT_FAILURE;
  // An interrupt at the terminal is for the station, which ends the devices in work first.
  signal(SIGINT, SIG_IGN);
  try {
    return serve();
  } catch (const Error& error) {
    return exit_status(error.code());
  } catch (const std::exception&) {
    return exit_status(Code::Internal);
  }
}
