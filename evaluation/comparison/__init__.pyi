from .compare import Comparison as Comparison, compare_results as compare_results
