"""Tests of the science of Argo."""
