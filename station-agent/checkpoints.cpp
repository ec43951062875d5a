#include "station-agent/checkpoints.h"

#include "token/audit/checkpoint.h"

namespace keyferry::station {

std::optional<Refusal> see_checkpoint(Store& store,
                                      const std::string& note,
                                      const crypto::PublicKey& log_key) {
  if (note.empty()) return std::nullopt;
  // The log's name is its first line; the pinned key, not the name, says whose log it is.
  const std::string origin = note.substr(0, note.find('\n'));
  const auto verified = audit::verify_checkpoint(note, origin, log_key);
  if (const auto* refusal = std::get_if<Refusal>(&verified)) return *refusal;
  const auto& checkpoint = std::get<audit::Checkpoint>(verified);
  const auto seen = store.checkpoint();
  if (seen && seen->size == checkpoint.size && seen->root != checkpoint.root) {
    store.note_incident("log-forked", std::to_string(checkpoint.size));
    return Refusal{"log-forked",
                   "two checkpoints of the appliance's log with one size and different roots",
                   "keep this token as it is and tell the officers"};
  }
  store.set_checkpoint({checkpoint.size, checkpoint.root, note});
  return std::nullopt;
}

}  // namespace keyferry::station
