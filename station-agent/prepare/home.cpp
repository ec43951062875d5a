#include "station-agent/prepare/home.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/process.h"

namespace keyferry::prepare {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxSmallFile = 64 * 1024;
constexpr const char* kOrderName = "order";

}  // namespace

Home::Home(const CommonOptions& common) {
  fs::path folder = fs::absolute(common.home).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  home_.folder = folder;
}

station::Settings Home::settings() const {
  if (fs::exists(settings_file())) return station::read_settings(settings_file());
  throw Error{Code::Usage,
              "no preparer is in " + folder().string(),
              "keyferry-prepare init --home DIR --name NAME"};
}

std::optional<ApplianceId> Home::appliance() const {
  const auto octets = read_file_if_exists(folder() / "appliance", kMaxSmallFile);
  if (!octets) return std::nullopt;
  const auto id = ApplianceId::from_hex(as_chars(*octets));
  if (!id)
    throw Error{Code::Storage,
                "HOME/appliance is damaged",
                "accept an order again after the officers looked"};
  return id;
}

void Home::pin(const ApplianceId& appliance) const {
  write_file_durably(folder() / "appliance", as_bytes(appliance.hex()), Overwrite::Refuse);
}

void Home::keep(const token::PreparationOrder& order, ByteView file) const {
  const fs::path place = orders() / order.plan_digest.hex();
  make_private_directory(place);
  write_file_durably(place / kOrderName, file, Overwrite::Replace);
}

std::vector<token::PreparationOrder> Home::all_orders() const {
  std::vector<token::PreparationOrder> found;
  if (!fs::exists(orders())) return found;
  for (const auto& entry : fs::directory_iterator{orders()}) {
    const auto octets = read_file_if_exists(entry.path() / kOrderName, kMaxSmallFile);
    if (!octets) continue;  // a cut before the order was kept
    auto opened = token::open_preparation_order(*octets);
    if (const auto* refusal = std::get_if<Refusal>(&opened)) throw to_error(*refusal);
    auto& order = std::get<token::PreparationOrder>(opened);
    if (appliance() != order.appliance_id) {
      throw Error{Code::Refused,
                  entry.path().string() + " holds an order of another appliance",
                  "somebody put it there: do not use this preparer, tell the officers"};
    }
    found.push_back(std::move(order));
  }
  std::ranges::sort(found, {}, &token::PreparationOrder::plan_number);
  return found;
}

token::PreparationOrder Home::order(const std::string& digest) const {
  std::vector<token::PreparationOrder> fitting = all_orders();
  std::erase_if(fitting, [&](const token::PreparationOrder& order) {
    return !order.plan_digest.hex().starts_with(digest);
  });
  if (fitting.size() == 1) return std::move(fitting.front());
  if (fitting.empty()) {
    throw Error{Code::NotFound, "no such order was accepted here", "keyferry-prepare accept FILE"};
  }
  throw Error{Code::Usage,
              fmt::format("{} orders fit", fitting.size()),
              "name one with --order DIGEST; keyferry-prepare status lists them"};
}

SecretBytes pin_for(const CommonOptions& common, const p11::Uri& uri) {
  if (common.pin_fd >= 0) return read_secret_line(common.pin_fd);
  if (const auto file = p11::pin_file(uri)) return read_secret_file(*file);
  return prompt_secret("PIN of the preparer's key store: ");
}

std::unique_ptr<station::Identity> login(const CommonOptions& common,
                                         const station::Settings& settings,
                                         station::KeyCreation creation) {
  return station::open_identity(settings, pin_for(common, settings.uri), creation);
}

}  // namespace keyferry::prepare
