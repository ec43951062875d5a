#include "tests/shim/core.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <thread>
#include <vector>

namespace keyferry::shim {

namespace {

constexpr std::array kUsualPlaces{"/usr/lib/softhsm/libsofthsm2.so",
                                  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                                  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
                                  "/usr/lib64/pkcs11/libsofthsm2.so",
                                  "/usr/local/lib/softhsm/libsofthsm2.so"};
constexpr int kMostSharedSessions = 4096;

std::string from_environment(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): only read here
  return value == nullptr ? "" : value;
}

std::string real_module_path() {
  if (std::string given = from_environment("KEYFERRY_SHIM_MODULE"); !given.empty()) return given;
  for (const char* const place : kUsualPlaces) {
    if (std::filesystem::exists(place)) return place;
  }
  return kUsualPlaces.front();
}

const CK_ATTRIBUTE* find_attribute(const CK_ATTRIBUTE* attributes,
                                   CK_ULONG count,
                                   CK_ATTRIBUTE_TYPE type) {
  const auto* const end = attributes + count;
  const auto* const found =
      std::find_if(attributes, end, [type](const CK_ATTRIBUTE& one) { return one.type == type; });
  return found == end || found->pValue == nullptr ? nullptr : found;
}

Facts facts_of_template(const CK_ATTRIBUTE* attributes, CK_ULONG count) {
  Facts facts;
  if (const auto* const found = find_attribute(attributes, count, CKA_CLASS);
      found != nullptr && found->ulValueLen == sizeof(CK_OBJECT_CLASS)) {
    CK_OBJECT_CLASS object_class = 0;
    std::memcpy(&object_class, found->pValue, sizeof object_class);
    facts.object_class = object_class;
  }
  if (const auto* const found = find_attribute(attributes, count, CKA_LABEL); found != nullptr) {
    facts.label.assign(static_cast<const char*>(found->pValue), found->ulValueLen);
  }
  return facts;
}

}  // namespace

Core& Core::instance() {
  static Core core;
  return core;
}

Core::Core() : script_{std::make_unique<Script>()} {
  const std::string path = real_module_path();
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    std::cerr << "keyferry-p11-shim: cannot load " << path << "\n";
    return;
  }
  const auto get_list = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  if (get_list == nullptr || get_list(&real_) != CKR_OK) real_ = nullptr;
}

CK_RV Core::initialize(void* arguments) {
  auto script = read_script(from_environment("KEYFERRY_SHIM_SCRIPT"));
  if (!script) return CKR_ARGUMENTS_BAD;
  script_ = std::move(script);
  armed_ = script_->starts_armed;
  dead_ = CKR_OK;
  counters_.open(*script_);
  return call(Fn::C_Initialize, {}, [&] { return real_->C_Initialize(arguments); });
}

CK_RV Core::finalize(void* reserved) {
  const CK_RV rv = call(Fn::C_Finalize, {}, [&] { return real_->C_Finalize(reserved); });
  wipe_sessions();
  dead_ = CKR_OK;
  return rv;
}

bool Core::is_armed() {
  if (armed_) return true;
  if (!script_->arm_file.empty() && access(script_->arm_file.c_str(), F_OK) == 0) armed_ = true;
  return armed_;
}

Rule* Core::before(Fn fn, const Subject& subject) {
  counters_.function_called(fn);
  if (const unsigned long us = script_->latency_us.at(index_of(fn)); us != 0) {
    std::this_thread::sleep_for(std::chrono::microseconds{us});
  }
  const auto& rules = script_->by_function.at(index_of(fn));
  if (rules.empty()) return nullptr;
  std::optional<Facts> facts;
  Rule* strikes = nullptr;
  for (Rule* const rule : rules) {
    if (rule->kind == Rule::Kind::Fault && !is_armed()) continue;
    if (!rule->where.empty()) {
      if (!facts) facts = facts_of(subject);
      if (!rule->where.matches(*facts)) continue;
    }
    counters_.rule_met(static_cast<std::size_t>(
        std::ranges::find_if(script_->rules, [rule](const Rule& one) { return &one == rule; }) -
        script_->rules.begin()));
    const unsigned long seen = ++rule->seen;
    if (rule->kind == Rule::Kind::Watch || strikes != nullptr) continue;
    if (seen != rule->nth && !(rule->repeat && seen > rule->nth)) continue;
    if (rule->kind == Rule::Kind::Arm) {
      armed_ = true;
      continue;
    }
    if (!rule->once.empty()) {
      const int marker = open(rule->once.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
      if (marker < 0) continue;
      close(marker);
    }
    strikes = rule;
  }
  return strikes;
}

CK_RV Core::strike(Rule& rule, const Subject& subject) {
  if (rule.kill) kill(getpid(), SIGKILL);
  if (rule.logout) real_->C_Logout(subject.session);
  if (rule.close) close_session(subject.session);
  if (rule.gone) {
    std::set<CK_SLOT_ID> slots;
    {
      const std::lock_guard lock{mutex_};
      for (const auto& [handle, session] : sessions_) slots.insert(session.slot);
    }
    for (const CK_SLOT_ID slot : slots) close_all_sessions(slot);
  }
  if (rule.sticky) dead_ = rule.rv;
  return rule.rv;
}

Facts Core::facts_of(const Subject& subject) {
  Facts facts;
  if (subject.goes_on) {
    const std::lock_guard lock{mutex_};
    const auto found = sessions_.find(subject.session);
    if (found == sessions_.end()) return facts;
    return found->second.operations.at(static_cast<std::size_t>(*subject.goes_on)).value_or(facts);
  }
  if (subject.attributes != nullptr) {
    facts = facts_of_template(subject.attributes, subject.attribute_count);
  } else if (subject.object != CK_INVALID_HANDLE) {
    CK_OBJECT_CLASS object_class = 0;
    std::array<char, 256> label{};
    CK_ATTRIBUTE wanted{CKA_CLASS, &object_class, sizeof object_class};
    if (real_->C_GetAttributeValue(subject.session, subject.object, &wanted, 1) == CKR_OK) {
      facts.object_class = object_class;
    }
    wanted = {CKA_LABEL, label.data(), label.size()};
    if (real_->C_GetAttributeValue(subject.session, subject.object, &wanted, 1) == CKR_OK) {
      facts.label.assign(label.data(), wanted.ulValueLen);
    }
  }
  if (subject.mechanism != nullptr) facts.mechanism = subject.mechanism->mechanism;
  return facts;
}

void Core::remember(const Subject& subject) {
  if (!script_->has_filters) return;
  Facts facts = facts_of(subject);
  const std::lock_guard lock{mutex_};
  const auto found = sessions_.find(subject.session);
  if (found == sessions_.end()) return;
  found->second.operations.at(static_cast<std::size_t>(*subject.begins)) = std::move(facts);
}

CK_RV Core::open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE* session) {
  Session fresh;
  fresh.slot = slot;
  {
    const std::lock_guard lock{mutex_};
    if (!take_place(fresh)) return CKR_SESSION_COUNT;
  }
  const CK_RV rv = real_->C_OpenSession(slot, flags, nullptr, nullptr, session);
  const std::lock_guard lock{mutex_};
  if (rv == CKR_OK) {
    sessions_[*session] = fresh;
  } else {
    forget(fresh);
  }
  return rv;
}

// Between processes a session is a lock on one octet of a file: a process that dies gives it back.
bool Core::take_place(Session& session) {
  if (!script_->max_sessions) return true;
  if (script_->max_sessions_file.empty()) return sessions_.size() < *script_->max_sessions;
  const int file = open(script_->max_sessions_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return false;
  const auto places = std::min<unsigned long>(*script_->max_sessions, kMostSharedSessions);
  for (unsigned long place = 0; place < places; ++place) {
    struct flock lock {};

    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(place);
    lock.l_len = 1;
    if (fcntl(file, F_OFD_SETLK, &lock) == 0) {
      session.shared_place = file;
      return true;
    }
  }
  close(file);
  return false;
}

void Core::forget(const Session& session) {
  if (session.shared_place >= 0) close(session.shared_place);
}

CK_RV Core::close_session(CK_SESSION_HANDLE session) {
  const CK_RV rv = real_->C_CloseSession(session);
  if (rv != CKR_OK) return rv;
  const std::lock_guard lock{mutex_};
  if (const auto found = sessions_.find(session); found != sessions_.end()) {
    forget(found->second);
    sessions_.erase(found);
  }
  return rv;
}

CK_RV Core::close_all_sessions(CK_SLOT_ID slot) {
  const CK_RV rv = real_->C_CloseAllSessions(slot);
  if (rv != CKR_OK) return rv;
  const std::lock_guard lock{mutex_};
  std::erase_if(sessions_, [this, slot](const auto& entry) {
    if (entry.second.slot != slot) return false;
    forget(entry.second);
    return true;
  });
  return rv;
}

void Core::wipe_sessions() {
  const std::lock_guard lock{mutex_};
  for (const auto& [handle, session] : sessions_) forget(session);
  sessions_.clear();
}

bool Core::has_room(const CK_ATTRIBUTE* attributes, CK_ULONG count, unsigned objects) {
  if (!script_->max_objects) return true;
  if (const auto* const token = find_attribute(attributes, count, CKA_TOKEN);
      token != nullptr && token->ulValueLen == 1 &&
      *static_cast<const CK_BBOOL*>(token->pValue) != CK_FALSE) {
    return true;
  }
  const std::lock_guard lock{mutex_};
  std::size_t alive = 0;
  for (const auto& [handle, session] : sessions_) alive += session.objects.size();
  return alive + objects <= *script_->max_objects;
}

void Core::made(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
  if (!script_->max_objects) return;
  CK_BBOOL token = CK_FALSE;
  CK_ATTRIBUTE wanted{CKA_TOKEN, &token, sizeof token};
  if (real_->C_GetAttributeValue(session, object, &wanted, 1) != CKR_OK || token != CK_FALSE)
    return;
  const std::lock_guard lock{mutex_};
  if (const auto found = sessions_.find(session); found != sessions_.end())
    found->second.objects.insert(object);
}

void Core::destroyed(CK_OBJECT_HANDLE object) {
  if (!script_->max_objects) return;
  const std::lock_guard lock{mutex_};
  for (auto& [handle, session] : sessions_) session.objects.erase(object);
}

}  // namespace keyferry::shim
