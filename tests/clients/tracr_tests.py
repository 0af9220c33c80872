"""tracr's own tests of its language, with our RASP, and its library's programs, compiled here."""

from __future__ import annotations

import io
import unittest

from tracr.compiler import lib_test, test_cases
from tracr.rasp import causal_eval_test, rasp_test

import knowncircuits as kc

# What our RASP does in another way than tracr's; see docs/coming-from.md.
DIFFERENT = {
    "test_constant_complains_if_sizes_dont_match",
    "test_nested_elementwise_ops_results_in_only_one_map_object",
    "test_nested_maps_result_in_two_map_objects_if_simplify_set_to_false",
    "test_selector_and_gets_simplified_when_keys_and_queries_match",
    "test_selector_and_gets_simplified_when_keys_are_full",
    "test_selector_and_gets_simplified_when_queries_are_full",
    "test_sequence_map_with_same_inputs_logs_warning",
}

shown = []
for module in (rasp_test, causal_eval_test, lib_test):
    found = unittest.TextTestRunner(io.StringIO()).run(
        unittest.defaultTestLoader.loadTestsFromModule(module)
    )
    failed = {test.id().rpartition(".")[2] for test, _ in (*found.failures, *found.errors)}
    assert failed == (DIFFERENT if module is rasp_test else set()), failed
    name = module.__name__.rpartition(".")[2]
    shown.append(f"{found.testsRun - len(failed)} of {found.testsRun} of {name}")

programs = [(case, False) for case in test_cases.TEST_CASES]
programs += [(case, True) for case in test_cases.CAUSAL_TEST_CASES]
for case, causal in programs:
    vocabulary = kc.Vocabulary(tuple(sorted(case["vocab"])), case["max_seq_len"])
    answers = kc.compile_program(case["program"], vocabulary, causal=causal)(case["test_input"])
    for answer, wanted in zip(answers, case["expected_output"], strict=True):
        assert answer == wanted or abs(answer - wanted) < 1e-6, case["testcase_name"]
shown.append(f"{len(programs)} programs of its library compiled and right")
print(f"with our RASP, {', '.join(shown)}")
