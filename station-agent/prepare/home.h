// The preparer's home: HOME/preparer.toml (its identity, station-agent/settings.h), HOME/appliance
// (the pinned appliance id), HOME/orders/DIGEST/order (as it came) and the journal beside it. The
// embedded key store is HOME-hsm.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "station-agent/identity.h"
#include "station-agent/prepare/commands.h"
#include "station-agent/prepare/preparer.h"
#include "wrap/base/durable_file.h"

namespace keyferry::prepare {

class Home {
 public:
  explicit Home(const CommonOptions& common);

  [[nodiscard]] const std::filesystem::path& folder() const { return home_.folder; }

  [[nodiscard]] const station::Home& station_home() const { return home_; }

  [[nodiscard]] std::filesystem::path settings_file() const { return folder() / "preparer.toml"; }

  [[nodiscard]] std::filesystem::path orders() const { return folder() / "orders"; }

  /// Error{Usage} when `init` was not run here.
  [[nodiscard]] station::Settings settings() const;

  /// Nothing before the first order was accepted.
  [[nodiscard]] std::optional<ApplianceId> appliance() const;
  void pin(const ApplianceId& appliance) const;

  void keep(const token::PreparationOrder& order, ByteView file) const;

  /// The one accepted order whose plan digest begins so. Error{NotFound}, or Error{Usage} when it
  /// is not one.
  [[nodiscard]] token::PreparationOrder order(const std::string& digest) const;
  [[nodiscard]] std::vector<token::PreparationOrder> all_orders() const;

 private:
  station::Home home_;
};

/// The identity; its PIN by --pin-fd, the URI's pin-source or the terminal.
[[nodiscard]] std::unique_ptr<station::Identity> login(const CommonOptions& common,
                                                       const station::Settings& settings,
                                                       station::KeyCreation creation);

[[nodiscard]] SecretBytes pin_for(const CommonOptions& common, const p11::Uri& uri);

}  // namespace keyferry::prepare
