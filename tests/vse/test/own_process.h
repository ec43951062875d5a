// SoftHSM reads its configuration once per process, so each store of a test is opened in a process
// of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "tests/support/softhsm_store.h"
#include "wrap/base/process.h"

namespace keyferry::vse {

/// Runs `body` in a fork of this (single-threaded) process with SOFTHSM2_CONF set. What it says is
/// wrong comes back; empty = all is well. The parent must not have loaded the module.
template <typename Body>
testing::AssertionResult in_own_process(const std::filesystem::path& softhsm2_conf,
                                        const Body& body) {
  auto [ours, theirs] = socket_pair();
  const pid_t child = fork();
  if (child == 0) {
    std::string wrong;
    try {
      setenv("SOFTHSM2_CONF", softhsm2_conf.c_str(), 1);
      wrong = body();
    } catch (const std::exception& error) {
      wrong = error.what();
    }
    if (!wrong.empty()) static_cast<void>(!write(theirs.get(), wrong.data(), wrong.size()));
    _exit(wrong.empty() ? 0 : 1);
  }
  theirs.reset();
  std::string wrong(4096, '\0');
  const ssize_t got = read(ours.get(), wrong.data(), wrong.size());
  wrong.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << (wrong.empty() ? "the process died" : wrong);
}

/// The one token of the store that SOFTHSM2_CONF names, logged in.
struct OpenToken {
  OpenToken(const std::string& label, const SecretBytes& pin)
      : module{test_support::softhsm_module()} {
    p11::Uri uri;
    uri.token = label;
    info = module.find_token(uri);
    session = std::make_unique<p11::Session>(module, info.slot, p11::Access::ReadWrite);
    session->login_or_throw(p11::Role::User, pin);
  }

  p11::Module module;
  p11::TokenInfo info;
  std::unique_ptr<p11::Session> session;
};

}  // namespace keyferry::vse
