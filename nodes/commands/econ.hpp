// drover econ: its parts. Each declares its subcommands on `app` and returns what runs after the words were parsed: the
// exit code when one of its own was given, nothing otherwise. econ.cpp lists the parts.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "actors/econ/central_econ.hpp"
#include "messages/result.hpp"
#include "nodes/commands/command.hpp"
#include "storage/env.hpp"

namespace drover::nodes {

using EconPart = std::function<std::optional<int>()>;

EconPart add_econ_ledger(CLI::App& app);     // econ_ledger.cpp
EconPart add_econ_market(CLI::App& app);     // econ_market.cpp
EconPart add_econ_quote(CLI::App& app);      // econ_quote.cpp
EconPart add_econ_reconcile(CLI::App& app);  // econ_reconcile.cpp: reconcile, outcome
EconPart add_econ_report(CLI::App& app);     // econ_report.cpp
EconPart add_econ_study(CLI::App& app);      // econ_study.cpp

// The folder of the books in a coordinator's store.
std::string econ_folder(const std::string& store);
// Opens the books to read, beside whoever writes them. Errors: not_found (no coordinator's store, or no books yet).
Result<storage::Env> open_books(const std::string& store);
// The books to write; the coordinator must be stopped. `config`: reconciliation.toml; empty: the shipped one where
// there is one, else the defaults.
Result<std::unique_ptr<econ::CentralEcon>> open_central_econ(const std::string& store, const std::string& config);

}  // namespace drover::nodes
